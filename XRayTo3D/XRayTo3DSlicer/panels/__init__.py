"""The panel: a file and a .ui file a section. Panels show and ask; the logic that they are given computes."""
