"""What a person can be shown of a node, as plain data: the local API's answers, for the web page and the terminal view.

Each module has one view: a function from the node's state to dicts and lists that JSON can hold. Nothing here waits,
writes, or knows of HTTP. Texts of peers are given as they are; who shows them escapes them.
"""
