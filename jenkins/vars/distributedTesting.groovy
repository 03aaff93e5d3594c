// Runs a project's tests with dt and shows them in the build. distributedTesting.txt is its help.
// A script here is a singleton, so it keeps nothing between two calls.

import org.distributedtesting.Options
import org.distributedtesting.Totals

/** Returns the totals by test type: [integration: [passed: '3', failed: '0', ...]]; the key is '' without types. */
Map call(Map given = [:]) {
    Options.check(given)
    List<String> types = Options.testTypes(given)
    Map statuses = [:]
    Map totals = [:]
    if (types.size() == 1) {
        runType(given, types[0], statuses, totals)
    } else {
        Map branches = [:]
        for (String type : types) {
            String mine = type
            branches[mine] = { stage(mine) { runType(given, mine, statuses, totals) } }
        }
        parallel branches
    }
    describe(types, totals)
    conclude(given, types, statuses)
    return totals
}

private void runType(Map given, String testType, Map statuses, Map totals) {
    String directory = Options.outputDir(given, testType)
    remove(directory)
    if (given.rerunFailed) {
        bringBack(given, testType)
    }
    try {
        if (Options.shards(given) > 1) {
            statuses[testType] = runShards(given, testType)
        } else {
            statuses[testType] = dt(given, Options.environment(given, testType), given.command ?: 'dt run')
        }
    } finally {
        totals[testType] = publish(directory, Options.coverageFile(given))
    }
}

/** Each share on an agent of its own, then one report of all of them here. */
private int runShards(Map given, String testType) {
    String parts = Options.partsDir(given, testType)
    remove(parts)
    Map branches = [:]
    for (int number = 1; number <= Options.shards(given); number++) {
        int shard = number
        branches["${testType ?: 'tests'} ${shard}/${Options.shards(given)}".toString()] = {
            try {
                runShard(given, testType, shard)
            } catch (IOException problem) {
                echo("Shard ${shard} broke off: ${problem.message}")
            }
        }
    }
    parallel branches
    for (int number = 1; number <= Options.shards(given); number++) {
        try {
            unstash("dt-${testType}-${number}")
        } catch (IOException missing) {
            echo("Shard ${number} left nothing, so that the report is incomplete: ${missing.message}")
        }
    }
    // With what every job must have in common, but for the share: the report says what they say together.
    return dt(given, Options.environment(given, testType), "dt report ${quoted(parts)}")
}

private void runShard(Map given, String testType, int shard) {
    String mine = Options.partsDir(given, testType) + '/' + shard
    node(given.agent ?: '') {
        stage("${testType ?: 'tests'} ${shard}/${Options.shards(given)}") {
            checkout scm
            remove(mine)
            if (given.rerunFailed) {
                bringBack(given, testType)
            }
            try {
                dt(given, Options.environment(given, testType, shard), 'dt run')
            } finally {
                stash(name: "dt-${testType}-${shard}", includes: "${mine}/**", allowEmpty: true)
            }
        }
    }
}

/** Jenkins keeps a workspace: what an earlier build left is not this one's. */
private void remove(String directory) {
    dir(directory) { deleteDir() }
}

/** Fetch the reports of the build before, of which dt takes what is of the same commit. */
private void bringBack(Map given, String testType) {
    String target = Options.earlierDir(testType)
    remove(target)
    if (!currentBuild.previousBuild) {
        return
    }
    String wanted = Options.outputDir(given, testType) + '/*.json,' + Options.outputDir(given, testType) + '/*.data,' +
        Options.partsDir(given, testType) + '/**'
    try {
        copyArtifacts(projectName: env.JOB_NAME, selector: specific("${currentBuild.previousBuild.number}"),
            filter: wanted, target: target, optional: true)
    } catch (NoSuchMethodError missing) {
        echo "Everything runs: the plugin Copy Artifact is not installed (${missing.message})"
    }
}

/** Run dt with these variables, and return its exit code. */
private int dt(Map given, List<String> variables, String command) {
    int status = -1
    withSecrets(given.credentials ?: [:]) {
        withEnv(variables) {
            inside(given) {
                status = start(command)
            }
        }
    }
    return status
}

private String quoted(String path) {
    return isUnix() ? "'" + path.replace("'", "'\\''") + "'" : '"' + path + '"'
}

private int start(String command) {
    if (isUnix()) {
        return sh(label: 'Distributed Testing', script: command, returnStatus: true)
    }
    return bat(label: 'Distributed Testing', script: command, returnStatus: true)
}

private void inside(Map given, Closure body) {
    if (given.image) {
        // Jenkins starts `cat` in the container, which the image's own entry point would take for a command of dt.
        docker.image(given.image).inside("--entrypoint='' ${given.dockerArgs ?: ''}".trim()) { body() }
    } else {
        body()
    }
}

private void withSecrets(Map credentials, Closure body) {
    List bindings = []
    if (credentials.coordinatorUrl) {
        bindings.add(string(credentialsId: credentials.coordinatorUrl, variable: 'COORDINATOR_URL'))
    }
    if (credentials.apiKey) {
        bindings.add(string(credentialsId: credentials.apiKey, variable: 'COORDINATOR_API_KEY'))
    }
    if (bindings) {
        withCredentials(bindings) { body() }
    } else {
        body()
    }
}

private Map publish(String directory, String coverage) {
    junit(testResults: "${directory}/test_report_*.xml", allowEmptyResults: true)
    archiveArtifacts(artifacts: "${directory}/**,${directory}-parts/**", allowEmptyArchive: true)
    if (coverage) {
        try {
            recordCoverage(tools: [[parser: 'COBERTURA', pattern: "${directory}/${coverage}"]])
        } catch (NoSuchMethodError missing) {
            echo "The coverage is not shown: the Coverage plugin is not installed (${missing.message})"
        }
    }
    String summary = "${directory}/dt.env"
    return fileExists(summary) ? Totals.read(readFile(summary)) : [:]
}

private void describe(List<String> types, Map totals) {
    List<String> words = []
    for (String type : types) {
        String counts = Totals.describe(type, totals[type] ?: [:])
        if (counts) {
            words.add(counts)
        }
    }
    if (words) {
        String before = currentBuild.description
        currentBuild.description = (before ? before + ' | ' : '') + words.join('; ')
    }
}

private void conclude(Map given, List<String> types, Map statuses) {
    List<String> problems = []
    boolean isOnlyTests = true
    for (String type : types) {
        int status = statuses[type] == null ? -1 : statuses[type]
        if (status != 0) {
            String subject = type ? type + ': ' : ''
            problems.add(subject + Totals.meaning(status) + ' (exit code ' + status + ')')
            isOnlyTests = isOnlyTests && status == 1
        }
    }
    if (!problems) {
        return
    }
    String message = 'Distributed Testing: ' + problems.join('; ')
    if (isOnlyTests && given.failOnError == false) {
        unstable(message)
    } else {
        error(message)
    }
}
