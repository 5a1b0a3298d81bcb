"""Explain: where the time of one turn went, from what Redis holds of it.

``store`` reads the conversation; ``frames``, ``waiting``, ``playback``, ``turn``, ``causes``, ``steps``,
``hops`` and ``timeline`` compute the timeline without I/O and without a clock; ``text`` prints it.
"""
