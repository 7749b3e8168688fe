import numpy as np

from medtranslate.report.trajectory import Frame, render_trajectory

ROW = {"region": "tumour", "volume_ml": 2.0, "change_percent": 0.0, "low": 1.5, "high": 2.5}


def test_the_page_shows_each_time_and_marks_what_is_simulated_or_far():
    rows = [
        {"time": "today", "years": 0.0, "extrapolation": "false"} | ROW,
        {"time": "1y", "years": 1.0, "extrapolation": "false"} | ROW,
        {"time": "9y", "years": 9.0, "extrapolation": "true"} | ROW,
    ]
    plane = np.random.default_rng(0).random((12, 16))
    frames = [Frame(row["time"], row["years"], plane) for row in rows]

    page = render_trajectory(
        rows, frames, title="<scan>", note="SIMULATION", warnings=["careful"], aspect=1.0
    )

    assert page.count("data:image/jpeg") == 4  # three in the slider, the first one shown
    assert "9y: 2.00 ml EXTRAPOLATION" in page
    assert "&lt;scan&gt;" in page
    assert "careful" in page
