"""Sessions and graphs of calls in files of rows: `given` (what one row says), `row_links` (how it says so), `linker`
(what all of them say together), `histories` (prompts that hold those before them).
"""
