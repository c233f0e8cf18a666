"""Building the image twice over: another folder, an empty store, a later time, another umask; and comparing the two."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from samebits.errors import ImageError
from samebits.images.archive import Image
from samebits.images.base import make_base, moved_packages, packages_of, parse_packages
from samebits.images.check import Comparison, check
from samebits.images.container import STUDY_IMAGE, Engine, engine_output
from samebits.images.context import DOCKERFILE, add_wheels, build_wheel, fetch_wheels, stage, version_of
from samebits.images.rewrite import rewrite

EPOCH = 1767225600
"""2026-01-01: the one time in an image, the same in every image, so that it tells nothing."""

BASE_IMAGE = "samebits-base"
_LIMIT_S = 3600
_NAMES = ("first", "second")
# The second build has another name for its folder, with a space, and takes more permissions away from new files.
_FOLDERS = ("a", "another folder/b")
_UMASKS = (0o022, 0o077)


@dataclass(frozen=True)
class Plan:
    """What to build.

    Args:
        source: a checkout.
        engine: that builds.
        lock: `image` or `image-torch`.
        base: an image's reference with its digest; a base out of Debian packages is made where left out.
        base_archive: such a base, made before.
        mirror: of Debian packages.
        epoch: the one time that the image holds.
    """

    source: Path
    engine: Engine
    lock: str = "image"
    base: str | None = None
    base_archive: Path | None = None
    mirror: str | None = None
    epoch: int = EPOCH


@dataclass(frozen=True)
class Built:
    """What two builds gave.

    Args:
        comparison: of the two.
        source_sha256: of the source that reached them.
        moved: Debian packages that are not those of docker/base/packages.txt.
        wall_s: of each build.
    """

    comparison: Comparison
    source_sha256: str
    moved: tuple[str, ...]
    wall_s: tuple[float, ...]


def build_twice(plan: Plan, out: Path, tell: Callable[[str], None] = lambda _: None) -> Built:
    """Build an image twice into `out` (first.tar, second.tar) and compare the two.

    Args:
        out: made if it is not there; older archives of these names are overwritten.
        tell: takes a line about each step.
    Raises:
        ImageError: a build failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    images: list[Image] = []
    seconds: list[float] = []
    moved: list[str] = []
    source_sha256 = ""
    with tempfile.TemporaryDirectory(prefix="samebits-image-", ignore_cleanup_errors=True) as folder:
        for name, below, umask in zip(_NAMES, _FOLDERS, _UMASKS, strict=True):
            work = Path(folder) / below
            work.mkdir(parents=True)
            started_s = time.monotonic()
            with _umask(umask), _store(plan.engine) as engine:
                source_sha256 = _build(replace(plan, engine=engine), work, out / f"{name}.tar", moved, tell)
            seconds.append(time.monotonic() - started_s)
            images.append(rewrite(out / f"{name}.tar", f"{STUDY_IMAGE}:latest"))
            tell(f"{name} build: {images[-1].digest} in {seconds[-1]:.0f} s")
            shutil.rmtree(work)
    return Built(check(*images), source_sha256, tuple(dict.fromkeys(moved)), tuple(seconds))


def _build(plan: Plan, work: Path, archive: Path, moved: list[str], tell: Callable[[str], None]) -> str:
    """Build once and return the source digest."""
    context, wheels = work / "context", work / "wheels"
    source_sha256 = stage(plan.source, context)
    tell("wheels: downloading what the lock names, compiling samebits")
    fetch_wheels(context, plan.lock, wheels)
    add_wheels(wheels, context)
    # The second build compiles into an empty cache, so that a stale one would show.
    second = work.name != _FOLDERS[0]
    build_wheel(context, epoch=plan.epoch, compiler_cache=work / "compiler" if second else None)
    base = plan.base
    if base is None:
        tell("base: Debian packages")
        moved += _debian_base(plan, work)
        base = _local(BASE_IMAGE)
    tell(f"image: {plan.engine.name} {plan.engine.version}")
    arguments = {"BASE": base, "LOCK": plan.lock, "SOURCE_DIGEST": source_sha256, "VERSION": version_of(plan.source)}
    _engine_build(plan, context, context / DOCKERFILE, STUDY_IMAGE, arguments, archive)
    return source_sha256


def _debian_base(plan: Plan, work: Path) -> list[str]:
    """Make a base in the engine's store; return what is not as docker/base/packages.txt locks it."""
    folder = work / "base"
    folder.mkdir()
    if plan.base_archive is None:
        make_base(folder / "base.tar", epoch=plan.epoch, mirror=plan.mirror)
    else:
        shutil.copyfile(plan.base_archive, folder / "base.tar")
    shutil.copyfile(plan.source / "docker" / "base" / "Dockerfile", folder / "Dockerfile")
    _engine_build(plan, folder, folder / "Dockerfile", BASE_IMAGE, {})
    lock = plan.source / "docker" / "base" / "packages.txt"
    return moved_packages(parse_packages(lock.read_text(encoding="utf-8")), packages_of(folder / "base.tar"))


def _engine_build(
    plan: Plan,
    context: Path,
    dockerfile: Path,
    tag: str,
    arguments: dict[str, str],
    archive: Path | None = None,
) -> None:
    """Build one image into the engine's store, or, where docker builds an archive, into that."""
    engine_output(
        build_words(plan.engine, context, dockerfile, tag, arguments, epoch=plan.epoch, archive=archive),
        limit_s=_LIMIT_S,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(plan.epoch)},
    )
    if archive is not None and plan.engine.name != "docker":
        engine_output(_save_words(plan.engine, tag, archive), limit_s=_LIMIT_S)


def build_words(
    engine: Engine,
    context: Path,
    dockerfile: Path,
    tag: str,
    arguments: dict[str, str],
    *,
    epoch: int,
    archive: Path | None = None,
) -> list[str]:
    """Return the command line of one build: nothing cached, one time for everything.

    buildah and podman write the time that --timestamp names; docker's BuildKit the one of SOURCE_DATE_EPOCH.
    """
    shared: list[object] = ["--no-cache", "--tag", tag, "--file", dockerfile]
    for name, value in arguments.items():
        shared += ["--build-arg", f"{name}={value}"]
    if engine.name == "docker":
        own: list[object] = ["buildx", "build", "--provenance=false", "--build-arg", f"SOURCE_DATE_EPOCH={epoch}"]
        # rewrite-timestamp gives that time to the files of a layer, too: BuildKit 0.13 and newer.
        own += ["--output", f"type=docker,dest={archive},rewrite-timestamp=true"] if archive else ["--load"]
        return engine.words(*own, *shared, context)
    own = ["bud" if engine.name == "buildah" else "build", "--quiet", "--layers=false", "--timestamp", epoch]
    # OCI's own format has no health check; the label of the engine's version would be another bit for another engine.
    own += ["--format", "docker", "--identity-label=false", "--isolation", "chroot"]
    return engine.words(*own, *shared, context)


def _save_words(engine: Engine, tag: str, archive: Path) -> list[str]:
    archive.unlink(missing_ok=True)  # neither engine overwrites
    if engine.name == "buildah":
        return engine.words("push", "--quiet", _local(tag), f"docker-archive:{archive}:{tag}:latest")
    return engine.words("save", "--quiet", "--format", "docker-archive", "--output", archive, _local(tag))


def _local(image: str) -> str:
    """Return the name of an image that is never pulled."""
    return f"localhost/{image}"


def load(engine: Engine, archive: Path) -> None:
    """Load an archive into the engine's own store, under the study's name.

    Raises:
        ImageError: the engine refused.
    """
    if engine.name == "buildah":
        engine_output(engine.words("pull", "--quiet", f"docker-archive:{archive}"), limit_s=_LIMIT_S)
    else:
        engine_output(engine.words("load", "--quiet", "--input", archive), limit_s=_LIMIT_S)


@contextlib.contextmanager
def _store(engine: Engine) -> Iterator[Engine]:
    """Yield the engine with an empty store of its own, and remove that store; docker has but one, its cache unused."""
    if engine.name == "docker":
        yield engine
        return
    # Not below the build's own folder: podman refuses a path of more than 50 characters.
    folder = Path(tempfile.mkdtemp(prefix="sb-"))
    try:
        yield replace(engine, store=folder)
    finally:
        _unmount_below(folder)
        if os.geteuid():
            # Without root the files are those of users that only the engine can become.
            with contextlib.suppress(ImageError):
                engine_output(engine.words("unshare", "rm", "-rf", folder))
        shutil.rmtree(folder, ignore_errors=True)


def _unmount_below(folder: Path) -> None:
    """Unmount what an engine leaves mounted in its store: the store cannot be removed before."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    points = [line.split()[1].replace("\\040", " ") for line in mounts]
    for point in sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True):
        with contextlib.suppress(ImageError):
            engine_output(["umount", point])


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
