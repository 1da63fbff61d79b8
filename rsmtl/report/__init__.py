"""The report of a run: one page that shows a customer what was made, from what the store holds alone."""

from rsmtl.report.page import REPORT_NAME, write_report

__all__ = ["REPORT_NAME", "write_report"]
