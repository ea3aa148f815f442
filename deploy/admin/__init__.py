"""Operations on a standing cluster over HTTP, for programs of its user: the same ones as by the command line.

`service` listens on loopback and lets in who has the token; `operations` makes checked calls of the table of
`deploy.live.control_calls`.
"""
