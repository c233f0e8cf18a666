"""The study's own import path; everything lives in `samebits`."""
