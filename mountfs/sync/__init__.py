"""How changes travel: what was changed here to the server, what others changed to here.

One task per drive (`drive_sync`) owns the order: settle the batch on its way, pull the feed, apply
both in one transaction, plan the next batch, send it. Nothing else changes the mirror. Contents
are uploaded beside it (`contents`), and a long poll (`follower`) only wakes it up.
"""
