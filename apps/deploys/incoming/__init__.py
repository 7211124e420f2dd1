"""Deliveries by programs: announced, uploaded in blocks, then finished.

begin_upload ──► add_block … ──► join_blocks ──► finish_upload ──► a deploy, as from the page
                 put_whole ─────────▲
"""
