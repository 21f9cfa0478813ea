"""The weights of cosine-adaptive KD, by the fixture of the specification and by hand."""

import pytest
from method_steps import logits_step

from kdray.methods import CosAdaptive
from kdray.train import SingleRank, objective

ZT, ZS = [[2, 1, 0.1], [0.5, 2.5, -1]], [[1, 1.5, 0.5], [0.2, 1, 0.3]]
STEP = logits_step(ZS, [ZT], [0, 1])


@pytest.mark.parametrize(
    ("imitate", "kd_weight", "loss"),
    [
        ("different", [1 - 0.780348, 1 - 0.885401], 0.801189),
        ("similar", [0.780348, 0.885401], 0.402947),
        # p_t[y] / |p_t|: .659001 / .709064 and .857977 / .866186
        ("correct", [0.929396, 0.990523], None),
    ],
)
def test_weights_and_loss_of_the_fixture(imitate, kd_weight, loss) -> None:
    method = CosAdaptive(temperature=1, imitate=imitate)
    weights = method.schedule(STEP)
    assert weights["kd"].tolist() == pytest.approx(kd_weight, abs=1e-6)
    assert (weights["hard"] + weights["kd"]).tolist() == pytest.approx([1, 1])
    if loss is None:  # mean of (1 − w)·CE + w·KD with the fixture's values of each row
        rows = zip(kd_weight, (1.180270, 0.665732), (0.261598, 0.300672), strict=True)
        loss = sum((1 - w) * ce + w * kd for w, ce, kd in rows) / 2
    assert objective(method, STEP, SingleRank()).loss.item() == pytest.approx(loss, abs=2e-6)


def test_an_unlabeled_row_learns_from_the_teacher_alone() -> None:
    step = logits_step(ZS, [ZT], [-1, 1])
    assert CosAdaptive(imitate="correct").schedule(step)["kd"][0] == 1
