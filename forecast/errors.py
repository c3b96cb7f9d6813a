"""Every error that a user can cause. The command line prints them as they are and exits with 2."""


class ForecastError(Exception):
    """Base of all errors that are the input's fault; the message says what to do."""


class DealFileError(ForecastError):
    """A deal file or one of the files beside it is wrong; one line a problem."""


class ReferenceClassError(ForecastError):
    """A reference class is missing or its table is wrong; one line a problem."""


class CompileError(ForecastError):
    """A valid deal that cannot become a program; one line a problem."""


class SolverError(ForecastError):
    """The exact solver cannot take this process; the message says why."""


class ArchiveError(ForecastError):
    """A run is not in the archive, is damaged, or would be overwritten."""


class HeldError(ForecastError):
    """The calibration failed the gate: the run is written, marked held, and not published."""

    exit_code = 3


class VerificationError(ForecastError):
    """A check of the models by simulated data failed: no input is wrong, a model is."""

    exit_code = 1
