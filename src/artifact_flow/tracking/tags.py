"""Tags: the names under which MLflow keeps facts about a run or a version of a model."""

TAG = "artifact_flow."
LOCK_TAG, NAME_TAG, DIRTY_TAG = f"{TAG}lock", f"{TAG}name", "git.dirty"
DATA_TAG = f"{TAG}data_md5"
FORCED_TAG = f"{TAG}forced"
SHA256_TAG = f"{TAG}sha256."  # followed by a file's name
MEASURED_TAG = f"{TAG}measured_on."  # followed by a key of Result.measured_on
