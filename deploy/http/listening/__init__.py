"""What stands between a socket and a request: connections that are let in and looked after, and bodies that come."""
