"""Top: a live view of a relay, computed from the metrics of its processes.

``targets`` names the admin ports and ``scrape`` reads them; ``scraped``, ``history``, ``interval``, ``view``
and ``problems`` compute the view without I/O and without a clock; ``screen`` draws it.
"""
