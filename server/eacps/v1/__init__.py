"""Generated gRPC stubs of package eacps.v1: never edited by hand, see `make proto`."""
