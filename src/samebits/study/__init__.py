"""Whole experiments: training again and again under deliberate variations."""
