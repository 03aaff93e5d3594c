def test_a() -> None: pass
