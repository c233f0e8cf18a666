"""Compile the kernels where the package is built: into a wheel, or, for an editable install, into the checkout.

pyproject.toml names this hook. What it compiles with is src/samebits/numerics/build.py of the tree that is being built:
the environment of a build holds nothing but what `build-system.requires` names. SAMEBITS_PLATFORM makes the wheel for
another platform of build.py.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeLibraries(BuildHookInterface[Any]):
    """Adds the libraries of this platform; where there are none, the wheel stays as it was, and says so."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling which files go where and for whom the wheel is."""
        build = _module_of_tree(Path(self.root), "samebits.numerics.build")
        named = os.environ.get("SAMEBITS_PLATFORM")
        platform = named or build.host_platform()
        # A platform that was asked for by name is compiled or refused, never left out.
        if platform not in build.PLATFORMS and not named:
            self.app.display_warning(f"no kernels for {platform}: samebits can compare and report here, not compute")
            return
        if version == "editable":
            build.build()
            return
        # Not the checkout's own folder: its libraries may be in use, or of another compiler.
        self.folder = tempfile.TemporaryDirectory(prefix="samebits-")
        for path in build.build(platform, folder=Path(self.folder.name)).values():
            inside = path.relative_to(self.folder.name).as_posix()
            build_data["force_include"][str(path)] = f"samebits/numerics/native/lib/{inside}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{wheel_platform(platform, build.PLATFORMS[platform].zig_target)}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what has been copied into the wheel."""
        if hasattr(self, "folder"):
            self.folder.cleanup()


def wheel_platform(platform: str, zig_target: str) -> str:
    """Return what pip calls the systems that run these libraries: `manylinux_2_17_x86_64`.

    A system compiler's libraries need that system's own libc, so that on Linux they get the tag that no index takes.
    """
    system, processor = platform.split("-")
    oldest = zig_target.partition("gnu." if system == "linux" else "macos.")[2].replace(".", "_")
    if system == "windows":
        return {"x86_64": "win_amd64"}[processor]
    if system == "macos":
        return f"macosx_{oldest}_{processor}"
    return f"linux_{processor}" if os.environ.get("SAMEBITS_CXX") else f"manylinux_{oldest}_{processor}"


def _module_of_tree(root: Path, name: str) -> Any:
    sources = str(root / "src")
    sys.path.insert(0, sources)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(sources)
