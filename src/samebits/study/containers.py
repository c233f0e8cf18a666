"""The recipe in a container beside the native runs: another Python, another C library, another system."""

from __future__ import annotations

from dataclasses import replace

from samebits.images.container import Container
from samebits.recipe.settings import STOCK
from samebits.study.variation import Variation, of_profile

CONTAINER = "container"
# A container is seen by any of them: this machine may be one itself, and then only its system is another.
CONTAINER_FACTS = ("env.container", "env.system", "env.python", "training.host")
NO_TORCH = "the image was built without PyTorch: `samebits image build --torch` builds one with it"


def container_variation(profile: str, container: Container | str) -> Variation:
    """Return the run of a profile's recipe in a container.

    Args:
        container: the image, or why there is none.
    """
    variation = Variation(
        CONTAINER,
        CONTAINER,
        "in a container",
        expectation="may differ" if profile == STOCK else "same",
        facts=CONTAINER_FACTS,
    )
    if isinstance(container, str):
        variation = replace(variation, unavailable=container)
    else:
        changed = f"in a container ({container.engine.name}, image {container.image_id[:12]})"
        reason = NO_TORCH if profile == STOCK and not container.has_torch else None
        variation = replace(variation, changed=changed, unavailable=reason, container=container)
    return of_profile(variation, profile)
