"""The report of an experiment: one HTML page that needs no network, on a phone or a large screen, light or dark.

`data` and `traces` gather what the page's scripts read, `tables`, `diagram` and `plots` write what stands there
without any script, and `page` puts both into the files of `static/`. What belongs here is how results are shown; not
what they are.
"""

from rankloom.eval.report.page import report_html

__all__ = ["report_html"]
