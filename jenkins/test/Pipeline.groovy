/**
 * Runs a declarative or scripted Jenkinsfile over Steps: as much of the declarative language as the examples use.
 *
 * A declarative pipeline is read as a whole first; then its stages run, and `post` whatever came of them.
 */
class Pipeline {

    private final Steps steps
    private final Script library

    Pipeline(Steps steps, Script library) {
        this.steps = steps
        this.library = library
    }

    void run(File jenkinsfile) {
        String text = jenkinsfile.getText('UTF-8').replaceAll(/(?m)^@Library.*$/, '')
        Script script = new GroovyShell(library.class.classLoader).parse(text)
        steps.giveTo(script)
        give(script, library)
        script.run()
    }

    private void give(Object target, Script lib) {
        Pipeline self = this
        List<Closure> deferred = []
        List<Closure> afterwards = []
        Map<String, String> variables = [:]
        target.metaClass.with {
            distributedTesting = { Map options -> lib.call(options) }
            pipeline = { Closure body ->
                Throwable problem = null
                body()
                try {
                    deferred.each { it() }
                } catch (Throwable thrown) {
                    problem = thrown
                }
                afterwards.each { it() }
                if (problem) {
                    throw problem
                }
            }
            agent = { Object ignored -> null }
            label = { Object ignored -> null }
            getAny = { -> 'any' }
            node = { String name, Closure body -> body() }
            environment = { Closure body ->
                Map target_ = variables
                body.delegate = new Expando() {
                    @Override
                    void setProperty(String name, Object value) { target_[name] = value.toString() }
                }
                body.resolveStrategy = Closure.DELEGATE_FIRST
                body()
            }
            stages = { Closure body -> deferred << body }
            stage = { String name, Closure body -> body() }
            post = { Closure body -> body() }
            always = { Closure body -> afterwards << body }
        }
        target.metaClass.steps = { Closure body ->
            self.steps.withEnv(variables.collect { name, value -> "${name}=${value}".toString() }, body)
        }
    }

}
