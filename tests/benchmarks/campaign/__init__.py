"""Everything that the boards of the large tracks need, as one ordered list of work that many short sessions go through.

``__main__.py`` is the command, ``plan.py`` the list, ``models.py`` and ``unit_steps.py`` are the kinds of work in it,
``costs.py`` says what they take, ``bundle.py`` makes the files that go from one machine to the next, and ``dry_run.py``
tries all that on tiny tracks.
"""
