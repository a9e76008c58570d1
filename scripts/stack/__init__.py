"""Everything that ``scripts/test`` and ``scripts/demo`` need to bring up a real Pilot.

The modules that run before any virtual environment exists (``console``,
``paths``, ``locks``, ``system``, ``debian_python``, ``toolchain`` and
``run_tests``) use the standard library only. The others (``broker``,
``homeassistant``, ``agent``, ``browser``, ``netns``, ``dashboard``, ``demo``)
run in the ``homeassistant`` environment, and the end-to-end tests import them
from there.
"""
