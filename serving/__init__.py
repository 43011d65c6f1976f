"""rankloom in an application: adapters to host frameworks, and a server.

Here belongs what carries pipelines to those who use them elsewhere. No method of ranking belongs here, and nothing
that pipelines in Python or experiments need.

The server needs the extra `serve`; its parts are imported from their modules, such as `rankloom.serving.app`.
"""
