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
            branches[mine] = { runType(given, mine, statuses, totals) }
        }
        parallel branches
    }
    describe(types, totals)
    conclude(given, types, statuses)
    return totals
}

private void runType(Map given, String testType, Map statuses, Map totals) {
    try {
        withSecrets(given.credentials ?: [:]) {
            withEnv(Options.environment(given, testType)) {
                inside(given) {
                    statuses[testType] = start(given.command ?: 'dt run')
                }
            }
        }
    } finally {
        totals[testType] = publish(Options.outputDir(given, testType), given.coverage ?: '')
    }
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
    archiveArtifacts(artifacts: "${directory}/**", allowEmptyArchive: true)
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
