"""Organ shapes from X-rays: labelmap, closed surface, volume in mL with an interval, and the outline on each X-ray."""
