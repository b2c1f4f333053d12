"""The plot of a memory profile. Needs matplotlib (extra `plot`)."""

from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from omezarr_proc.app.profiling.profile import MB, Profile
from omezarr_proc.app.profiling.sampling import Sampler


def plot(found: Sequence[tuple[Profile, Sampler]], path: str) -> None:
    """One profile: memory over time. Several: limit, projected and measured peak over the limit."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(found) == 1:
        profile, sampler = found[0]
        for pid in dict.fromkeys(sample.pid for sample in sampler.samples):
            own = [sample for sample in sampler.samples if sample.pid == pid]
            axes.plot([s.seconds for s in own], [s.bytes / MB for s in own], linewidth=1, label=f"process {pid}")
        times, totals = zip(*sampler.totals, strict=True) if sampler.totals else ((), ())
        axes.plot(times, [total / MB for total in totals], color="black", linewidth=2, label="all processes")
        axes.axhline(profile.projected_bytes / MB, color="tab:orange", linestyle="--", label="projected peak")
        axes.axhline(profile.limit_bytes / MB, color="tab:red", label="limit")
        for seconds, phase in profile.phases:
            axes.axvline(seconds, color="grey", linewidth=0.5)
            axes.text(seconds, 0.99, f" {phase}", transform=axes.get_xaxis_transform(), rotation=90, va="top", fontsize=8, color="grey")
        axes.set_xlabel("seconds")
    else:
        limits = [profile.limit_bytes / MB for profile, _ in found]
        axes.plot(limits, limits, color="tab:red", label="limit")
        axes.plot(
            limits, [p.projected_bytes / MB for p, _ in found], color="tab:orange", linestyle="--", marker="o", label="projected peak"
        )
        axes.plot(limits, [p.peak_bytes / MB for p, _ in found], color="black", marker="o", label="measured peak")
        axes.set_xscale("log", base=2)
        axes.set_xlabel("limit, MB")
    axes.set_ylabel("MB (PSS)")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=120)
