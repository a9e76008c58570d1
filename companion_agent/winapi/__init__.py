"""Windows' own calls, one module for each part of it; the only place that calls a DLL.

Importable on every system: structures and constants are plain ctypes, and a DLL is looked for when
one of its functions is called. Tests replace `dll.system`.
"""
