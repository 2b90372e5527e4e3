"""Both ways from DALI to arrays, which give the same."""

import pytest


@pytest.fixture(params=["whole batch", "by sample"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    from dali_ops.operators import bridge

    if request.param == "by sample":
        monkeypatch.setattr(bridge, "_WholeBatch", None)
    return str(request.param)
