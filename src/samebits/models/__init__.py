"""Base models by digest: found in a folder or on a hub, or written from a seed; and the tiny one that is bundled."""
