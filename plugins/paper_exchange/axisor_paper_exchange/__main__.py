"""`python -m axisor_paper_exchange`."""

from axisor_paper_exchange.cli import main

if __name__ == "__main__":
    main(prog_name="axisor-paper-exchange")
