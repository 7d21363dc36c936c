"""``python -m axisor_executor.cli``."""

from axisor_executor.cli import main

if __name__ == "__main__":
    main(prog_name="axisor-executor")
