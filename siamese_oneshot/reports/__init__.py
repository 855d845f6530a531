"""Reports on runs and sweeps: tables, and self-contained HTML pages with interactive charts."""
