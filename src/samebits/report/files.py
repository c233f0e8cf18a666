"""The three files of a report, written from one document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samebits.canonical.atomic import write_atomic
from samebits.canonical.json_bytes import dump_json
from samebits.errors import StorageError
from samebits.report.html import render_page
from samebits.report.summary import render_summary

JSON_FILE = "reproducibility_analysis_report.json"
SUMMARY_FILE = "FINAL_RESULTS_SUMMARY.md"
HTML_FILE = "report.html"
REPORT_FILES = (JSON_FILE, SUMMARY_FILE, HTML_FILE)


def write_report(document: Mapping[str, Any], out: Path) -> list[Path]:
    """Write JSON, Markdown and HTML into a folder, made where it is not there; return their paths.

    Raises:
        MissingExtraError: Jinja2 or matplotlib is not installed; nothing is written.
        StorageError: the disk refused.
    """
    content = {
        HTML_FILE: render_page(document).encode(),
        SUMMARY_FILE: render_summary(document).encode(),
        JSON_FILE: dump_json(dict(document)),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError("the report's folder must be writable", got=str(error), where=str(out)) from error
    for name in REPORT_FILES:
        write_atomic(out / name, content[name])
    return [out / name for name in REPORT_FILES]
