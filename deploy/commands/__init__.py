"""One module for each command of `supernode`; `deploy.cli` imports the one that is invoked."""
