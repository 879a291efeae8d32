"""The subcommands: each module offers `main(argv) -> int`."""
