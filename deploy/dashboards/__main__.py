"""`python -m deploy.dashboards` writes the dashboards into `deploy/grafana/dashboards`."""

from __future__ import annotations

from deploy.dashboards.files import FOLDER, texts


def main() -> None:
    """Write each dashboard to its file and tell which."""
    for name, text in texts().items():
        path = FOLDER / name
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
