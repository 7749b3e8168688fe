from medtranslate.metrics.margins import MarginCurve
from medtranslate.report.planning import render_plan


def test_the_page_gives_each_margin_or_says_that_none_suffices():
    rows = [
        {"time": "1y", "kind": "isotropic", "margin_mm": 4.5, "covered": 0.91, "volume_ml": 9.0},
        {"time": "1y", "kind": "within", "margin_mm": "", "covered": 0.8, "volume_ml": 7.0},
    ]
    curve = MarginCurve((0.0, 4.5), (0.4, 0.91))

    page = render_plan(
        rows, {("1y", "isotropic"): curve, ("1y", "within"): curve},
        coverage=0.9, title="scan", note="SIMULATION", warnings=[],
    )  # fmt: skip

    assert "4.5" in page
    assert "91.0%" in page
    assert "not reached" in page
    assert page.count("<svg") == 2
