"""Refusals: explain what is wrong with a setting, without its value."""

from collections.abc import Callable

from pydantic import ValidationError

_WORDS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be one of {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have {min_length} characters or more",
    "string_too_long": "must have {max_length} characters or less",
    "too_short": "must have {min_length} characters or more",
    "path_type": "must be a path",
}


def explain(error: ValidationError, variable_of: Callable[[str], str]) -> list[str]:
    """Explain a validation error: one sentence for each fault.

    Args:
        error: The validation error.
        variable_of: Returns the variable of a field.
    """
    sentences = []
    for problem in error.errors(include_url=False, include_input=False):
        context = problem.get("ctx", {})
        if problem["type"] == "value_error":
            words = str(context["error"])
            if problem["loc"]:
                words = f"is refused: {words}"
        elif problem["type"] == "too_short" and context["min_length"] == 1:
            words = "is missing"
        else:
            words = _WORDS.get(problem["type"], problem["msg"]).format_map(context)
        if problem["loc"]:  # else several settings do not go together, and the words name them
            words = f"{_variable(str(problem['loc'][0]), variable_of)} {words}"
        sentences.append(words)
    return sentences


def _variable(place: str, variable_of: Callable[[str], str]) -> str:
    try:
        return variable_of(place)
    except KeyError:  # a field with a variable name of its own is known by that name here
        return place
