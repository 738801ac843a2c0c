"""Map the folders ``integrations`` and ``schemas`` into the package; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["cryosiam", "cryosiam.*"])
    + [f"cryosiam.{name}" for name in find_packages(include=["integrations*", "schemas*"])],
    package_dir={
        "cryosiam": "cryosiam",
        "cryosiam.integrations": "integrations",
        "cryosiam.schemas": "schemas",
    },
    include_package_data=False,
)
