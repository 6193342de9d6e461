"""Stand-in for the module ``SampleData``: what may be registered, and what the application refuses."""

from __future__ import annotations

from typing import Any

#: What was registered, by category.
sources: dict[str, list[dict[str, Any]]] = {}


class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(category: str = "Custom", sampleName: str | None = None, **given: Any) -> None:
        """Lists must be equally long, and there must be at least one address, also where a function does the download."""
        names = ("uris", "fileNames", "nodeNames", "checksums", "loadFiles", "loadFileTypes")
        known = {*names, "customDownloader", "thumbnailFileName", "loadFileProperties", "loadFileType"}
        if set(given) - known:
            raise TypeError(f"unexpected keyword arguments {sorted(set(given) - known)}")
        uris = given.get("uris")
        if isinstance(uris, str):
            fields = {name: [given.get(name)] for name in names}
        else:
            count = len(uris)  # type: ignore[arg-type]  # without any it is a TypeError, as in the application
            fields = {name: [None] * count if given.get(name) is None else given[name] for name in names}
            fields["fileNames"] = list(given["fileNames"])
        if len({len(values) for values in fields.values()}) != 1:
            raise ValueError("All fields of sample data source must have the same length")
        sources.setdefault(category, []).append({"sampleName": sampleName, **given, **fields})
