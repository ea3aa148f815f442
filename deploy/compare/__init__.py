"""One trace on several systems, side by side.

Reading order: `variants`, `measure`, `goodput`, `comparison`, `page`; then `systems`, `sizing`, `sizing_page`.
"""
