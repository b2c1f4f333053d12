// A batch in parts as a Nextflow process:
//
//     nextflow run deploy/omezarr-proc.nf --input /data/scans --output /data/pyramids --parts 16
//
// A part that fails stops no other, also none that is not submitted yet; with nextflow.config, which Nextflow (24.10 or newer) reads beside
// this file, the workflow fails at its end.
//
// Both folders must be seen by all tasks under these names: a task's share is a matter of the whole batch, so nothing is staged.

params.input = null
params.output = null
params.parts = 16

process PYRAMIDS {
    tag "part ${part}/${params.parts}"
    container 'omezarr-proc:latest'
    cpus 2
    memory { 2.GB * task.attempt }
    errorStrategy { task.exitStatus in [71, 75, 137, 143] && task.attempt <= 3 ? 'retry' : 'ignore' }
    maxRetries 3

    input:
    val part

    script:
    """
    omezarr-proc --input-dir '${params.input}' --output-dir '${params.output}' --part ${part}/${params.parts} --max-workers ${task.cpus} --memory-limit-mb ${task.memory.toMega()}
    """
}

workflow {
    PYRAMIDS(Channel.of(1..params.parts.toInteger()))
}
