"""Write charts/parkade/dashboards/*.json."""

from dashboards.all_boards import BOARDS, FOLDER
from dashboards.grafana import as_json

if __name__ == "__main__":
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(as_json(board))
