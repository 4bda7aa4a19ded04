"""Options of the benches that are comma-separated lists."""
import argparse


def numbers(text):
    return [int(part) for part in text.split(",") if part]


def words_of(values):
    """A reader of lists of these words, for argparse's `type`."""
    def read(text):
        for word in (words := text.split(",")):
            if word not in values:
                raise argparse.ArgumentTypeError(f"{word}: not one of {', '.join(values)}")
        return words
    return read
