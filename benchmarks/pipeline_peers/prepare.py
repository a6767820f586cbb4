"""The first of three plain scripts, written without this project: split the digits into two CSV files."""

import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True, as_frame=True)
rows = pd.concat([X, y], axis=1)
train, test = train_test_split(rows, test_size=0.2, random_state=42, stratify=y)
train.to_csv("train.csv")
test.to_csv("test.csv")
