"""Seeded tables like those that people publish, quirks included: each function writes one file and returns its path."""

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Row = Sequence[object]


def passengers(folder: Path, rows: int = 300) -> Path:
    """Write passengers of a ship: names in quotes that hold commas and quotes, ages and cabins missing."""
    rng = np.random.default_rng(1)
    names = "PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin,Embarked"
    lines: list[Row] = [names.split(",")]
    for i in range(rows):
        woman, grade = bool(rng.random() < 0.35), int(rng.integers(1, 4))
        survived = int(rng.random() < (0.2 + 0.5 * woman + 0.1 * (3 - grade)))
        name = f'Smith{i % 170}, Mrs. John "Nan{i}" (Ann)' if woman else f"O'Brien{i % 170}, Mr. Patrick {i}"
        age = "" if rng.random() < 0.2 else f"{rng.integers(1, 160) / 2:g}"
        cabin = "" if rng.random() < 0.77 else f"C{rng.integers(1, 130)}"
        embarked = "" if i in (61, 229) else rng.choice(["S", "C", "Q"], p=[0.7, 0.2, 0.1])
        ticket = f"A/5 {21000 + i // 2}" if i % 3 else str(110000 + i // 2)
        fare = f"{rng.gamma(1, 80 / grade**2):.4f}"
        relatives = rng.integers(0, 4, 2)
        lines.append(
            [
                i + 1,
                survived,
                grade,
                name,
                "female" if woman else "male",
                age,
                *relatives,
                ticket,
                fare,
                cabin,
                embarked,
            ]
        )
    return _write(folder / "passengers.csv", _text(lines))


CENSUS = (
    "age,workclass,fnlwgt,education,education-num,marital-status,occupation,relationship,race,sex,capital-gain,"
    "capital-loss,hours-per-week,native-country,income"
)


def census_income(folder: Path, rows: int = 400, *, header: bool = False) -> Path:
    """Write a census: a blank after each comma, "?" for what is not known, classes "<=50K" and ">50K", an empty end."""
    rng = np.random.default_rng(2)
    lines: list[Row] = [CENSUS.split(",")] if header else []
    for _ in range(rows):
        years = int(rng.integers(1, 17))
        rich = rng.random() < years / 24
        work = "?" if rng.random() < 0.06 else rng.choice(["Private", "Self-emp-not-inc", "State-gov"])
        lines.append(
            [
                rng.integers(17, 91),
                work,
                rng.integers(12285, 1484705),
                f"grade-{years}",
                years,
                rng.choice(["Married-civ-spouse", "Never-married", "Divorced"]),
                "?" if work == "?" else rng.choice(["Sales", "Tech-support", "Exec-managerial"]),
                rng.choice(["Husband", "Wife", "Own-child"]),
                rng.choice(["White", "Black", "Other"]),
                rng.choice(["Male", "Female"]),
                0 if rng.random() < 0.9 else rng.integers(100, 99999),
                0 if rng.random() < 0.95 else rng.integers(100, 4356),
                rng.integers(1, 100),
                "?" if rng.random() < 0.02 else rng.choice(["United-States", "Mexico", "Trinadad&Tobago"]),
                ">50K" if rich else "<=50K",
            ]
        )
    text = "".join(", ".join(map(str, line)) + "\n" for line in lines)
    return _write(folder / "census_income.csv", text + "\n")


def wine_quality(folder: Path, rows: int = 400) -> Path:
    """Write wines: semicolons, the header in quotes and with blanks in it, a whole number from 3 to 9 as target."""
    rng = np.random.default_rng(3)
    names = [
        "fixed acidity", "volatile acidity", "citric acid", "residual sugar", "chlorides", "free sulfur dioxide",
        "total sulfur dioxide", "density", "pH", "sulphates", "alcohol", "quality",
    ]  # fmt: skip
    X = np.round(np.abs(rng.normal([7, 0.3, 0.3, 6, 0.05, 35, 138, 0.994, 3.2, 0.5, 10.5], 0.2, (rows, 11))), 4)
    quality = np.clip(np.rint(6 + 3 * (X[:, 10] - 10.5) + rng.normal(0, 0.8, rows)), 3, 9).astype(int)
    quality[:4] = [3, 3, 9, 9]
    lines = [";".join(f'"{name}"' for name in names)]
    lines += [";".join([*(f"{value:g}" for value in row), str(y)]) for row, y in zip(X, quality, strict=True)]
    return _write(folder / "wine_quality.csv", "\n".join(lines) + "\n")


def house_prices(folder: Path, rows: int = 300) -> Path:
    """Write houses: NA for what is missing or not there, many text columns, years, and an almost empty column."""
    rng = np.random.default_rng(4)
    names = (
        "Id,MSSubClass,MSZoning,LotFrontage,LotArea,Street,Alley,Utilities,Neighborhood,OverallQual,YearBuilt,"
        "YearRemodAdd,ExterQual,TotalBsmtSF,CentralAir,1stFlrSF,GarageYrBlt,PoolQC,MiscFeature,MoSold,YrSold,SalePrice"
    )
    lines: list[Row] = [names.split(",")]
    for i in range(rows):
        quality, area, year = int(rng.integers(1, 11)), int(rng.gamma(9, 160)), int(rng.integers(1875, 2011))
        price = 20000 + 14000 * quality + 60 * area + 150 * (year - 1875) + rng.normal(0, 9000)
        lines.append(
            [
                i + 1,
                rng.choice([20, 60, 120]),
                rng.choice(["RL", "RM", "C (all)"]),
                "NA" if rng.random() < 0.18 else rng.integers(21, 314),
                area * 7,
                "Grvl" if i % 97 == 0 else "Pave",
                rng.choice(["NA", "NA", "NA", "Grvl", "Pave"]),
                "AllPub",
                f"Area{rng.integers(0, 25)}",
                quality,
                year,
                year + int(rng.integers(0, 5)),
                rng.choice(["TA", "Gd", "Ex"]),
                area,
                rng.choice(["Y", "N"], p=[0.9, 0.1]),
                area + 20,
                "NA" if rng.random() < 0.05 else year,
                "Ex" if i == 197 else "NA",
                "NA",
                rng.integers(1, 13),
                rng.integers(2006, 2011),
                int(price),
            ]
        )
    return _write(folder / "house_prices.csv", _text(lines))


def telco_churn(folder: Path, rows: int = 300) -> Path:
    """Write customers: ids as text, a blank as the total of who is new, Yes and No, "No internet service"."""
    rng = np.random.default_rng(5)
    names = (
        "customerID,gender,SeniorCitizen,Partner,tenure,OnlineBackup,Contract,PaymentMethod,MonthlyCharges,"
        "TotalCharges,Churn"
    )
    lines: list[Row] = [names.split(",")]
    for i in range(rows):
        tenure, monthly = (0 if i % 60 == 7 else int(rng.integers(1, 73))), round(float(rng.uniform(18, 119)), 2)
        contract = rng.choice(["Month-to-month", "One year", "Two year"])
        leaves = rng.random() < (0.5 if contract == "Month-to-month" else 0.1)
        lines.append(
            [
                f"{rng.integers(1000, 9999)}-{''.join(rng.choice(list('ABCDEFGHIJK'), 5))}",
                rng.choice(["Male", "Female"]),
                rng.integers(0, 2),
                rng.choice(["Yes", "No"]),
                tenure,
                rng.choice(["Yes", "No", "No internet service"]),
                contract,
                rng.choice(["Electronic check", "Mailed check", "Bank transfer (automatic)"]),
                monthly,
                " " if tenure == 0 else round(monthly * tenure, 2),
                "Yes" if leaves else "No",
            ]
        )
    return _write(folder / "telco_churn.csv", _text(lines))


def mushrooms(folder: Path, rows: int = 300) -> Path:
    """Write mushrooms: every value one letter, one column constant, "?" as a value of its own."""
    rng = np.random.default_rng(6)
    names = "class,cap-shape,bruises,odor,stalk-root,veil-type,ring-number"
    lines: list[Row] = [names.split(",")]
    for _ in range(rows):
        odor = rng.choice(list("anfpsy"))
        poisonous = odor in "fpsy" if rng.random() < 0.98 else odor not in "fpsy"
        root = "?" if rng.random() < 0.3 else rng.choice(list("bce"))
        lines.append(
            ["p" if poisonous else "e", rng.choice(list("xbfk")), rng.choice(list("tf")), odor, root, "p",
             rng.choice(list("ot"))]
        )  # fmt: skip
    return _write(folder / "mushrooms.csv", _text(lines))


def bike_sharing(folder: Path, rows: int = 300) -> Path:
    """Write days of a bicycle hire: a date a row, and two columns whose sum is the target."""
    rng = np.random.default_rng(7)
    names = "instant,dteday,season,yr,holiday,weathersit,temp,hum,windspeed,casual,registered,cnt"
    lines: list[Row] = [names.split(",")]
    for i in range(rows):
        day = np.datetime64("2011-01-01") + i
        temp = 0.5 + 0.3 * np.sin(i / 58) + rng.normal(0, 0.05)
        casual, registered = int(rng.gamma(4, 200 * temp)), int(rng.gamma(9, 500 * temp))
        weather = [round(float(temp), 6), round(float(rng.uniform(0, 1)), 6), round(float(rng.uniform(0, 0.5)), 6)]
        lines.append(
            [i + 1, day, i // 91 % 4 + 1, int(i >= 240), int(i % 45 == 0), rng.integers(1, 4), *weather,
             casual, registered, casual + registered]
        )  # fmt: skip
    return _write(folder / "bike_sharing.csv", _text(lines))


def hospital_visits(folder: Path, rows: int = 320) -> Path:
    """Write visits to a hospital: several of one patient, in time, with gaps; frail patients come back."""
    rng = np.random.default_rng(12)
    lines: list[Row] = [["visit", "patient", "date", "age", "ward", "pressure", "glucose", "smoker", "readmitted"]]
    patients = [
        (rng.integers(20, 90), round(float(rng.normal(130, 15))), rng.random() < 0.3, rng.normal(0, 1))
        for _ in range(rows // 4)
    ]
    for i in range(rows):
        patient = int(rng.integers(0, len(patients)))
        age, pressure, smoker, frail = patients[patient]
        ward = rng.choice(["surgery", "medicine", "heart"], p=[0.4, 0.4, 0.2])
        glucose = round(float(rng.normal(5.5 + frail, 0.8)), 1)
        odds = -5.4 + 0.04 * age + 0.8 * smoker + 0.5 * (glucose - 5.5) + frail + (ward == "heart")
        lines.append(
            [f"V{1000 + i}", f"P{100 + patient}", np.datetime64("2024-01-01") + i, age, ward,
             "" if rng.random() < 0.08 else pressure + int(rng.normal(0, 6)), glucose, "yes" if smoker else "no",
             "yes" if rng.random() < 1 / (1 + np.exp(-odds)) else "no"]
        )  # fmt: skip
    return _write(folder / "visits.csv", _text(lines))


def european_rents(folder: Path, rows: int = 200) -> Path:
    """Write rents as a European office tool saves them: a byte order mark, semicolons, CR LF, accents; gzip."""
    rng = np.random.default_rng(8)
    lines = ["Straße;Größe m²;Zimmer;Balkon;Baujahr;Energieausweis;Miete €"]
    for i in range(rows):
        size = round(float(rng.uniform(20, 140)), 1)
        lines.append(
            f"Allee {i % 9}, Hinterhof;{size};{1 + int(size // 35)};{'ja' if rng.random() < 0.5 else 'nein'};"
            f"{rng.integers(1900, 2024)};{'' if rng.random() < 0.3 else rng.choice(list('ABCDE'))};"
            f"{size * 13 + rng.normal(0, 40):.2f}"
        )
    path = folder / "rents.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode(), mtime=0))
    return path


def reviews(folder: Path, rows: int = 250) -> Path:
    """Write reviews, parted by tabs: a free text in quotes with line breaks and tabs in it, and a rating as a word."""
    rng = np.random.default_rng(9)
    lines: list[Row] = [["review_id", "text", "nights", "country", "price", "again"]]
    for i in range(rows):
        again = rng.choice(["never", "perhaps", "surely"])
        text = f'Room {i}:\n"{again}",\tsaid my sister.\n\nNo. {rng.integers(1e9)}'
        price = f"{rng.uniform(40, 300) + 90 * (again == 'never'):.2f}"
        lines.append(
            [f"r{i:05}", text, rng.integers(1, 15), rng.choice(["DE", "FR", "NA", "Côte d'Ivoire"]), price, again]
        )
    return _write(folder / "reviews.tsv", _text(lines, "\t"))


def sensors(folder: Path, rows: int = 400) -> Path:
    """Write Parquet with the types it knows: ints, bool, date32, timestamp, decimal, float32, dictionary, nulls."""
    rng = np.random.default_rng(10)
    gaps = rng.random(rows) < 0.1
    start = np.datetime64("2024-01-01")
    load = rng.normal(50, 15, rows).astype(np.float32)
    failed = rng.random(rows) < 1 / (1 + np.exp(-(load - 55) / 6))
    table = pa.table(
        {
            "serial": pa.array(np.arange(7000, 7000 + rows)),
            "installed": pa.array((start + rng.integers(0, 600, rows)).astype("datetime64[D]")),
            "seen": pa.array((start + np.arange(rows) * np.timedelta64(3661, "s")).astype("datetime64[us]"), mask=gaps),
            "load": pa.array(load, mask=np.roll(gaps, 1)),
            "starts": pa.array(rng.integers(0, 300, rows).astype(np.int16)),
            "heated": pa.array(rng.random(rows) < 0.5, mask=np.roll(gaps, 2)),
            "maker": pa.array(rng.choice(["Äcme", "Bolt, Inc.", "C"], rows), mask=np.roll(gaps, 3)).dictionary_encode(),
            "cost": pa.array([None if gap else f"{i}.50" for i, gap in enumerate(gaps)]).cast(pa.decimal128(9, 2)),
            "remark": pa.nulls(rows),
            "failed": pa.array(failed),
        }
    )
    path = folder / "sensors.parquet"
    pq.write_table(table, path)
    return path


def _text(lines: Iterable[Row], separator: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path
