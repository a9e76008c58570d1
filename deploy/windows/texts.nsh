; What the installer says. English is the language of every system that has neither.

!macro Text NAME ENGLISH FRENCH
    LangString TEXT_${NAME} ${LANG_ENGLISH} "${ENGLISH}"
    LangString TEXT_${NAME} ${LANG_FRENCH} "${FRENCH}"
!macroend
!define Text "!insertmacro Text"

${Text} WELCOME \
    "Pilot's agent reports this computer to Home Assistant over MQTT, and runs what a paired Home Assistant asks. It is installed for all users of this computer, as a Windows service.$\r$\n$\r$\nAn agent that is installed already keeps its configuration, keys and history." \
    "L’agent de Pilot présente cet ordinateur à Home Assistant par MQTT et exécute ce que demande un Home Assistant appairé. Il est installé pour tous les utilisateurs de cet ordinateur, comme service Windows.$\r$\n$\r$\nUn agent déjà installé garde sa configuration, ses clés et son historique."
${Text} UNSUITABLE \
    "Pilot's agent needs Windows 10 or newer, 64 bit." \
    "L’agent de Pilot demande Windows 10 ou plus récent, en 64 bits."
${Text} NO_FILE "There is no file" "Ce fichier n’existe pas :"
${Text} FILES \
    "The files could not be written: is the disk full?" \
    "Les fichiers n’ont pas pu être écrits : le disque est-il plein ?"
${Text} IN_USE \
    "A program uses files of the agent that is installed, which goes on as it was. Close it, or restart the computer, and try again." \
    "Un programme utilise des fichiers de l’agent installé, qui continue comme avant. Fermez ce programme ou redémarrez l’ordinateur, puis réessayez."
${Text} UNPACKING "Unpacking" "Décompression"
${Text} CHECKING "Checking the new version" "Vérification de la nouvelle version"
${Text} STOPPING "Stopping the version before" "Arrêt de la version précédente"
${Text} STARTING "Starting the service" "Démarrage du service"
${Text} DOES_NOT_START \
    "The new version cannot run there; nothing was changed." \
    "La nouvelle version ne peut pas fonctionner là ; rien n’a été modifié."
${Text} SERVICE \
    "The service does not start; the installation was undone." \
    "Le service ne démarre pas ; l’installation a été annulée."
${Text} LOG "The log:" "Le journal :"
${Text} PURGE \
    "Delete configuration, keys and history too? After that this computer has to be paired anew." \
    "Supprimer aussi la configuration, les clés et l’historique ? Il faudra ensuite appairer à nouveau cet ordinateur."
${Text} NOT_REMOVED \
    "The service could not be removed." \
    "Le service n’a pas pu être supprimé."
${Text} BROKER "MQTT broker" "Broker MQTT"
${Text} BROKER_WHY \
    "Which broker does Home Assistant use? Leave the address empty to say it later." \
    "Quel broker Home Assistant utilise-t-il ? Laissez l’adresse vide pour l’indiquer plus tard."
${Text} ADDRESS "Address" "Adresse"
${Text} ADDRESS_HELP \
    "homeassistant.local, 192.168.1.5:1884, mqtts://mqtt.example" \
    "homeassistant.local, 192.168.1.5:1884, mqtts://mqtt.example"
${Text} USERNAME "User name" "Identifiant"
${Text} PASSWORD "Password" "Mot de passe"
${Text} TRY "Test connection" "Tester la connexion"
${Text} TRYING "Connecting …" "Connexion …"
${Text} ANSWERS "The broker responds as it should." "Le broker répond comme il faut."
${Text} UNTESTED \
    "Continue although the broker does not respond" \
    "Continuer bien que le broker ne réponde pas"
${Text} PAIRING "Pair with Home Assistant" "Appairer avec Home Assistant"
${Text} PAIRING_WHY \
    "Only a paired Home Assistant can command this computer." \
    "Seul un Home Assistant appairé peut commander cet ordinateur."
${Text} PAIRING_HELP \
    "Type this code in Home Assistant, into the dialog that adds this computer, or scan the picture with the phone that has the Home Assistant app. You can also do it later: pilot-agent pair." \
    "Saisissez ce code dans Home Assistant, dans le dialogue qui ajoute cet ordinateur, ou scannez l’image avec le téléphone qui a l’application Home Assistant. C’est aussi possible plus tard : pilot-agent pair."
${Text} PAIRING_BEGINS "Asking the service for a code …" "Demande d’un code au service …"
${Text} PAIRING_WAITS "Waiting for Home Assistant …" "En attente de Home Assistant …"
