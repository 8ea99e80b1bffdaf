"""One self-contained HTML page on a run: its errors, and images to look at."""

from camcaffe.report.page import write_report

__all__ = ["write_report"]
