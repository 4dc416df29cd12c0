"""What the tests of the classifier fit."""

from sklearn_cdul import CLIPPseudoLabeler

NAMES = ["pizza", "cake", "coffee"]
# No snippets, small pictures, few epochs: these tests are about manners, not accuracy.
QUICK = {
    "pseudo_labeler": CLIPPseudoLabeler(NAMES, grid_size=1),
    "image_size": 64,
    "epochs": 3,
    "warmup_epochs": 1,
    "batch_size": 8,
    "random_state": 0,
}
