"""`python -m unilth`."""

from unilth.cli import run

if __name__ == "__main__":
    run()
